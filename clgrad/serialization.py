"""Placeholder."""


def save(): ...


def load(): ...
