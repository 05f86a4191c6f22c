"""Publish into the stream: recorded files, a simulator, and the publisher both use."""
