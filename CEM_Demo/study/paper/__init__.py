"""The paper's experiments as studies, and the numbers that were published of them."""
