"""The AWS resources that an installation needs: what they are, and how they come to be."""
