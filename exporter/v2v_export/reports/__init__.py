"""Forms that other tools read: JUnit XML, one HTML page."""
