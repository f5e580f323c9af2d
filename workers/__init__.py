"""The processes behind the API: the delivery engine and its actors."""
