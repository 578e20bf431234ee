"""The papers' mathematics, one file per subject: nothing here knows data, plans or training loops."""
