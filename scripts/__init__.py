"""What sets a checkout up, and what proves its Dockerfile."""
