# ADMIN is kafka-acls.sh --bootstrap-server HOST:PORT --command-config FILE
$ADMIN --add --allow-principal 'User:score' --topic 'transactions' --operation Describe
$ADMIN --add --allow-principal 'User:score' --topic 'labels' --operation Describe
$ADMIN --add --allow-principal 'User:score' --topic 'scores' --operation Describe
$ADMIN --add --allow-principal 'User:score' --topic 'alerts' --operation Describe
$ADMIN --add --allow-principal 'User:score' --topic 'dead-letters' --operation Describe
$ADMIN --add --allow-principal 'User:score' --topic 'model-events' --operation Describe
$ADMIN --add --allow-principal 'User:score' --topic 'transactions' --operation Read
$ADMIN --add --allow-principal 'User:score' --topic 'scores' --operation Write
$ADMIN --add --allow-principal 'User:score' --topic 'alerts' --operation Write
$ADMIN --add --allow-principal 'User:score' --topic 'dead-letters' --operation Write
$ADMIN --add --allow-principal 'User:score' --topic 'model-events' --operation Write
$ADMIN --add --allow-principal 'User:score' --group 'fraud-score' --operation Read
$ADMIN --add --allow-principal 'User:learn' --topic 'transactions' --operation Describe
$ADMIN --add --allow-principal 'User:learn' --topic 'labels' --operation Describe
$ADMIN --add --allow-principal 'User:learn' --topic 'scores' --operation Describe
$ADMIN --add --allow-principal 'User:learn' --topic 'alerts' --operation Describe
$ADMIN --add --allow-principal 'User:learn' --topic 'dead-letters' --operation Describe
$ADMIN --add --allow-principal 'User:learn' --topic 'model-events' --operation Describe
$ADMIN --add --allow-principal 'User:learn' --topic 'labels' --operation Read
$ADMIN --add --allow-principal 'User:learn' --topic 'dead-letters' --operation Write
$ADMIN --add --allow-principal 'User:learn' --topic 'model-events' --operation Write
$ADMIN --add --allow-principal 'User:learn' --group 'fraud-learn' --operation Read
$ADMIN --add --allow-principal 'User:learn' --group 'fraud-score' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'transactions' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'labels' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'scores' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'alerts' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'dead-letters' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'model-events' --operation Describe
$ADMIN --add --allow-principal 'User:fit' --topic 'labels' --operation Read
$ADMIN --add --allow-principal 'User:fit' --group 'fraud-fit' --operation Read
$ADMIN --add --allow-principal 'User:fit' --group 'fraud-score' --operation Describe
$ADMIN --add --allow-principal 'User:producer' --topic 'transactions' --operation Write
$ADMIN --add --allow-principal 'User:producer' --topic 'labels' --operation Write
$ADMIN --add --allow-principal 'User:alerts' --topic 'alerts' --operation Read
$ADMIN --add --allow-principal 'User:alerts' --group 'fraud-alerts' --operation Read
$ADMIN --add --allow-principal 'User:archive' --topic 'scores' --operation Read
$ADMIN --add --allow-principal 'User:archive' --topic 'labels' --operation Read
$ADMIN --add --allow-principal 'User:archive' --group 'fraud-archive' --operation Read
$ADMIN --add --allow-principal 'User:cases' --topic 'scores' --operation Read
$ADMIN --add --allow-principal 'User:cases' --topic 'alerts' --operation Read
$ADMIN --add --allow-principal 'User:cases' --topic 'labels' --operation Read
$ADMIN --add --allow-principal 'User:cases' --topic 'labels' --operation Write
$ADMIN --add --allow-principal 'User:cases' --group 'fraud-cases' --operation Read
$ADMIN --add --allow-principal 'User:desk' --topic 'labels' --operation Write
$ADMIN --add --allow-principal 'User:settle' --topic 'scores' --operation Read
$ADMIN --add --allow-principal 'User:settle' --topic 'labels' --operation Read
$ADMIN --add --allow-principal 'User:settle' --topic 'labels' --operation Write
$ADMIN --add --allow-principal 'User:settle' --group 'fraud-settle' --operation Read
$ADMIN --add --allow-principal 'User:redrive' --topic 'dead-letters' --operation Read
$ADMIN --add --allow-principal 'User:redrive' --topic 'transactions' --operation Write
$ADMIN --add --allow-principal 'User:redrive' --topic 'labels' --operation Write
$ADMIN --add --allow-principal 'User:redrive' --group 'fraud-redrive' --resource-pattern-type prefixed --operation Read
$ADMIN --add --allow-principal 'User:forget' --topic 'model-events' --operation Write
$ADMIN --add --allow-principal 'User:topics' --topic 'transactions' --operation Create --operation Describe --operation DescribeConfigs
$ADMIN --add --allow-principal 'User:topics' --topic 'labels' --operation Create --operation Describe --operation DescribeConfigs
$ADMIN --add --allow-principal 'User:topics' --topic 'scores' --operation Create --operation Describe --operation DescribeConfigs
$ADMIN --add --allow-principal 'User:topics' --topic 'alerts' --operation Create --operation Describe --operation DescribeConfigs
$ADMIN --add --allow-principal 'User:topics' --topic 'dead-letters' --operation Create --operation Describe --operation DescribeConfigs
$ADMIN --add --allow-principal 'User:topics' --topic 'model-events' --operation Create --operation Describe --operation DescribeConfigs
