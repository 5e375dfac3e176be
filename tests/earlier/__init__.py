"""Work made with earlier versions of the package, kept to prove that later ones open, replay and verify it."""
