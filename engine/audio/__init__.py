"""Sound as samples: files, web addresses, tones and speech that are played, and what is heard and recorded."""
