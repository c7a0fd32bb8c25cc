"""The `Recommender` around each kind of network: fit, score, save and load, once per kind."""
