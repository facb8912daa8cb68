"""ONNX as a serving format: conversion, comparison with the pipeline, checks, and the model that predicts."""
