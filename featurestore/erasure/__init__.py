"""The steps of forgetting a user, see `featurestore.forget`."""
