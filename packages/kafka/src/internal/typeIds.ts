/** Of `Producer`: here, because the public module and its implementation need it both. */
export const producerTypeId = "~@sluice/kafka/Producer"

/** Of `Consumer`. */
export const consumerTypeId = "~@sluice/kafka/Consumer"

/** Of `Partitioner`. */
export const partitionerTypeId = "~@sluice/kafka/Partitioner"
