"""Tables and figures from stored records: nothing here needs torch, Ray or a GPU."""
