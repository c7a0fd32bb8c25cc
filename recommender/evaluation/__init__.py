"""What models are worth on the test part: measured, compared and shown. No trainer imports this room."""
