"""Floor 1: what any FX/CFD broker says, as frozen structs. No framework, no venue."""
