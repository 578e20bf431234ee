"""Dynamic Mutual Training: methods as plans, searches over them, and a store in which nothing is computed twice."""
