"""What only the Faust side needs: how runs are delivered, and the application around the stages."""
