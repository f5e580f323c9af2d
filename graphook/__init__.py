"""What stands the service up: tools that know nothing of its models or its schema."""

__version__ = "0.1.0"
