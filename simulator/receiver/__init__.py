"""A local system that receives deliveries: records, and the messages of chats, with faults on demand."""
