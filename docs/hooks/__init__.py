"""What fills the site's generated pages: read from the code each time the site is built, never copied."""
