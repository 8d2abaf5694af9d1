// py/mphal.h asks for this file; nothing in it is needed.
