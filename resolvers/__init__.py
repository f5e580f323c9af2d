"""What each operation does: who asks, which row, which model verb."""
