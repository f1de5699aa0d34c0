"""The mathematics: posteriors and their pooling, Thompson sampling, propensities, utility."""
