// A UDP ping server as a student writes it.
import java.io.IOException;
import java.net.*;
import java.util.Random;

public class Right {
    public static void main(String[] args) throws IOException {
        DatagramSocket server = new DatagramSocket(Integer.parseInt(args[0]));
        Random random = new Random();
        while (true) {
            DatagramPacket packet = new DatagramPacket(new byte[2048], 2048);
            server.receive(packet);
            if (random.nextDouble() < 0.3) {
                continue;
            }
            byte[] data = packet.getData();
            for (int i = 0; i < packet.getLength(); i++) {
                if (data[i] >= 'a' && data[i] <= 'z') {
                    data[i] -= 32;
                }
            }
            server.send(new DatagramPacket(data, packet.getLength(), packet.getSocketAddress()));
        }
    }
}
