"""CustomResourceDefinitions, admission policies and the API reference, generated from the models. Pure."""
