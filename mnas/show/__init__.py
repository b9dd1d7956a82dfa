"""What people see of a search: text, plots and the HTML page."""
