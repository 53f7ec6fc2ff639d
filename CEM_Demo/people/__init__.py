"""Do people look where the network looks? What annotators mark, beside a causal effect map."""
