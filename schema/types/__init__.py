"""The GraphQL types, inputs and enums, one noun a module."""
