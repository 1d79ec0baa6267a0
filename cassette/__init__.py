"""The format library: read, check and write go-vcr cassettes. No mitmproxy, no click, no asyncio."""
