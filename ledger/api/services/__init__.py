"""What answers the API's questions: plain classes that know no HTTP."""
