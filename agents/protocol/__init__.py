"""chain events -> RoundView -> decide -> Action -> perform -> chain, IPFS."""
