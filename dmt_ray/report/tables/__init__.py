"""Tables of ablations: numbers, captions, and the forms they are written in."""
