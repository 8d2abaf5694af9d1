"""NTAG21x and NTAG 424 DNA: their commands, keys, links and journals, and how one tag gets or loses its identity."""
