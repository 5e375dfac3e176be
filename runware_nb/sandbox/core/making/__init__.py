"""What the sandbox makes: pictures, films, sounds, solids and words, all real files, all from the request alone."""
