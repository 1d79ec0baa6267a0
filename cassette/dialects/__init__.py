"""The dialects of inference APIs: JSON of a request or an answer in, messages out. Pure and lenient.

Each module offers `read_request`, `read_answer` (a whole body) and `read_stream` (the events of a streamed
one, put together and then read as a whole one). None raises: what is missing or of another type is left out.
"""
