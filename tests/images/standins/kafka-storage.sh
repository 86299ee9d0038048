#!/bin/bash
# Stand-in of the script in Kafka's own image.
exec /opt/jre/bin/java -cp "$(cat /opt/classpath)" kafka.tools.StorageTool "$@"
