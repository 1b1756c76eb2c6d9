"""The exact settings with which a chat UI, or a few lines of code, talks to a running endpoint.

`endpoint` asks what is running, `clients` renders one template per client. What is printed is a file of
its kind (environment, YAML, Python, ...), with everything else in its comments.
"""
