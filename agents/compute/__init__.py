"""Where and how lists of powers are computed: in slices, by threads of this machine or an organisation's own cluster."""
