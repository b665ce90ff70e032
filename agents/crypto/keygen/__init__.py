"""The key ceremony without a dealer (docs/ceremony.md) as pure state machines: posts in, messages and a transcript out."""
