"""What the commands of `dmt` do. torch and mlflow take seconds to import: each function imports what it needs."""
