"""The one caching seam between the pages and the two APIs.

- Fleet data is the same for everybody who may see it: asked with the dashboard's own viewer key, kept for less than a
  refresh, keyed by role, so that any number of open pages costs one question.
- Whatever has a face, a subject or a case is asked with the person's token and kept in that person's session alone.
- A cached function raises on failure, so a failure is never cached and never shown as emptiness: `Seen` says it, beside
  the last data and their age.
"""
