"""Sensor nodes by the dozen: boards, programs, enrolment, plans, surveys and updates."""
