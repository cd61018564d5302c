"""The story ``vex demo`` tells, and the sample memory it is told on."""
