"""HGPO of LGHRec: a policy that chooses negatives and temperatures, and the contrast that it steers."""
