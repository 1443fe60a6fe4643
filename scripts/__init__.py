"""What makes the pictures and the generated pages of docs/; no part of the package."""
