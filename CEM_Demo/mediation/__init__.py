"""What part of each effect travels through what a network gathers over the whole image, and what part does not."""
