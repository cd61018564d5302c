"""Reports as pages for a browser: one file each, nothing fetched, readable without scripts.

What memories say is hostile until proved otherwise: it enters a page only through ``escape.visible``.
"""
