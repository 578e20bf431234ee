"""The papers' mathematics, one file a subject: nothing here knows data, plans or training loops."""
